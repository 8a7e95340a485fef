// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {Salt} from "../support/Contracts.sol";
import {Permit2Code} from "../support/Permit2Code.sol";

interface IDomain {
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}

/// @title DepositSignatures
/// @notice What a payer signs to have somebody else make a deposit, beside the deposit itself.
library DepositSignatures {
    /// @notice EIP-2612's permit, for the contract of channels.
    function permitDigest(Salt token, address owner, address spender, uint256 value, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                owner,
                spender,
                value,
                token.nonces(owner),
                deadline
            )
        );
        return typedData(address(token), structHash);
    }

    /// @notice EIP-3009's authorization to be received by the contract of channels.
    function authorizationDigest(address token, address from, address to, uint256 value, uint256 until, bytes32 nonce)
        internal
        view
        returns (bytes32)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                from,
                to,
                value,
                0,
                until,
                nonce
            )
        );
        return typedData(token, structHash);
    }

    /// @notice Permit2's permission, with the channel as its witness.
    function permit2Digest(
        ISaltChannels.Channel memory channel,
        ISaltChannels channels,
        uint256 amount,
        uint256 depositBefore,
        uint256 nonce,
        uint256 deadline
    ) internal view returns (bytes32) {
        bytes32 permitted = keccak256(
            abi.encode(keccak256("TokenPermissions(address token,uint256 amount)"), channel.asset, amount)
        );
        bytes32 witness = keccak256(
            abi.encode(
                keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)"),
                channels.channelId(channel),
                depositBefore
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,DepositWitness witness)DepositWitness(bytes32 channel,uint256 depositBefore)TokenPermissions(address token,uint256 amount)"
                ),
                permitted,
                address(channels),
                nonce,
                deadline,
                witness
            )
        );
        return typedData(Permit2Code.PERMIT2, structHash);
    }

    function typedData(address verifier, bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", IDomain(verifier).DOMAIN_SEPARATOR(), structHash));
    }
}
