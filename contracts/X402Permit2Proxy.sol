// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "./interfaces/IX402Permit2Proxies.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @notice The one function of Permit2 that is called, with its structs as {IX402Permit2Proxy} has them, so that what
/// the caller sent is passed on as it came.
interface IPermit2 {
    /// @param to Who is paid.
    /// @param requestedAmount How much.
    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    function permitWitnessTransferFrom(
        IX402Permit2Proxy.PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;
}

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
        string memory witnessTypeString,
        bytes calldata signature
    ) internal {
        if (amount == 0) revert InvalidAmount();
        if (owner == address(0)) revert InvalidOwner();
        if (to == address(0)) revert InvalidDestination();
        requireStarted(validAfter);

        IPermit2.SignatureTransferDetails memory details =
            IPermit2.SignatureTransferDetails({to: to, requestedAmount: amount});
        IPermit2(PERMIT2).permitWitnessTransferFrom(permit, details, owner, witnessHash, witnessTypeString, signature);

        emit PaymentSettled(owner, to, permit.permitted.token, amount, permit.nonce);
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
