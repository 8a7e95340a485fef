// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "./interfaces/IX402Permit2Proxies.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title X402Permit2Proxy
/// @notice What settling is, whichever witness was signed. {IX402Permit2Proxy} is the documentation.
abstract contract X402Permit2Proxy is IX402Permit2Proxy, ReentrancyGuardTransient {
    /// @inheritdoc IX402Permit2Proxy
    address public immutable PERMIT2;

    constructor(address permit2) {
        if (permit2 == address(0)) revert InvalidPermit2Address();
        PERMIT2 = permit2;
    }

    /// @dev Settles `amount` of what is permitted. The witness' hash is computed from `to` and `validAfter` among
    /// others, so that neither can be anything but what was signed.
    function settlePayment(
        PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        address to,
        uint256 validAfter,
        bytes32 witnessHash,
        bytes calldata signature
    ) internal {
        if (amount == 0) revert InvalidAmount();
        if (owner == address(0)) revert InvalidOwner();
        if (to == address(0)) revert InvalidDestination();
        requireStarted(validAfter);

        transferByPermit2(permit, amount, owner, to, witnessHash, signature);

        emit PaymentSettled(owner, to, permit.permitted.token, amount, permit.nonce);
    }

    /// @dev Writes what WITNESS_TYPE_STRING is to memory as ABI-encoded bytes: its length, and four words of it. It has
    /// more than 96 bytes and at most 128.
    /// @param at Where to. Nothing behind it is in use.
    function writeWitnessType(uint256 at) internal pure virtual;

    /// @dev `permitWitnessTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes32,string,bytes)`
    /// of Permit2, which returns nothing. Solidity would copy permit, type and signature twice, for 1,000 gas.
    /// What Permit2 is given is read from calldata by Solidity or copied as it came; Permit2 refuses dirty addresses.
    function transferByPermit2(
        PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        address to,
        bytes32 witnessHash,
        bytes calldata signature
    ) private {
        // The request is built behind all that is in use, and no memory is reserved while it is there. Its first word
        // ends with the selector, so that all others are words of the ABI.
        uint256 request;
        uint256 typeAt;
        assembly ("memory-safe") {
            request := mload(0x40)
            mstore(request, 0x137c29fe)
            calldatacopy(add(request, 0x20), permit, 0x80)
            mstore(add(request, 0xa0), to)
            mstore(add(request, 0xc0), amount)
            mstore(add(request, 0xe0), owner)
            mstore(add(request, 0x100), witnessHash)
            // Where the type and the signature begin, from the first word on.
            mstore(add(request, 0x120), 0x140)
            mstore(add(request, 0x140), 0x1e0)
            typeAt := add(request, 0x160)
        }
        writeWitnessType(typeAt);

        address permit2 = PERMIT2;
        assembly ("memory-safe") {
            mstore(add(request, 0x200), signature.length)
            let end := add(add(request, 0x220), signature.length)
            calldatacopy(add(request, 0x220), signature.offset, signature.length)
            // Filled up to a whole word.
            mstore(end, 0)
            let size := sub(and(add(end, 0x1f), not(0x1f)), add(request, 0x1c))

            // A call of an address without code would succeed.
            if iszero(extcodesize(permit2)) { revert(0x00, 0x00) }
            if iszero(call(gas(), permit2, 0, add(request, 0x1c), size, 0x00, 0x00)) {
                returndatacopy(request, 0x00, returndatasize())
                revert(request, returndatasize())
            }
        }
    }

    /// @dev Gives the token the payer's EIP-2612 permit. Anybody can see a permit and submit it first, and then it
    /// fails here although the allowance is there. Whether it is, Permit2's transfer tells.
    function givePermit(EIP2612Permit calldata permit2612, TokenPermissions calldata permitted, address owner)
        internal
    {
        if (permit2612.value != permitted.amount) revert Permit2612AmountMismatch();

        try IERC20Permit(permitted.token)
            .permit(owner, PERMIT2, permit2612.value, permit2612.deadline, permit2612.v, permit2612.r, permit2612.s) {}
        catch Error(string memory reason) {
            emit EIP2612PermitFailedWithReason(permitted.token, owner, reason);
        } catch Panic(uint256 errorCode) {
            emit EIP2612PermitFailedWithPanic(permitted.token, owner, errorCode);
        } catch (bytes memory data) {
            emit EIP2612PermitFailedWithData(permitted.token, owner, data);
        }
    }

    /// @dev A block producer can move the time by seconds, and gains nothing by it.
    // forge-lint: disable-next-item(block-timestamp)
    function requireStarted(uint256 validAfter) private view {
        if (block.timestamp < validAfter) revert PaymentTooEarly();
    }
}
